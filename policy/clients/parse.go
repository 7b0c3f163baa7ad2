package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxNames bounds the names of a client in a document. A process can have 65,536 groups.
const maxNames = 1<<16 + 10

// Parse returns the client that has these names and no others, each in the form of a pattern
// without stars: uid:1000 and gid:1000, or cn:a and dns:b, or one URI. It fails if no client has
// such names, and for more than one user, common name or URI. No names are those of the unknown
// client.
func Parse(names []string) (Client, error) {
	if len(names) == 0 {
		return Client{}, nil
	}
	c := Client{known: true}
	count := map[kind]int{}
	for _, s := range names {
		if err := safetext.Check(s, MaxSize, false); err != nil {
			return Client{}, fmt.Errorf("%s %w", safetext.Quote(s), err)
		}
		n, err := parseName(s, false)
		if err != nil {
			return Client{}, fmt.Errorf("%s %w", safetext.Quote(s), err)
		}
		if slices.ContainsFunc(c.names, func(o name) bool { return o.text == n.text }) {
			return Client{}, fmt.Errorf("%s is there twice", safetext.Quote(s))
		}
		c.names = append(c.names, n)
		count[n.kind]++
	}
	onSocket := count[kindUser] + count[kindGroup]
	certified := len(c.names) - onSocket
	switch {
	case onSocket > 0 && certified > 0:
		return Client{}, errors.New("a client has either a user and groups, or names in a certificate")
	case onSocket > 0 && count[kindUser] != 1:
		return Client{}, errors.New("a client with groups has one user: uid:NUMBER")
	case count[kindURI] > 1 || count[kindURI] == 1 && certified > 1:
		return Client{}, errors.New("of a certificate with a URI, only one URI counts")
	case count[kindCommon] > 1:
		return Client{}, errors.New("a certificate with several common names has none that counts")
	case count[kindDNS] > maxDNS:
		return Client{}, fmt.Errorf("a certificate has at most %d DNS names that count", maxDNS)
	}
	return c, nil
}

// document is a Client in JSON.
type document struct {
	Names   []string `json:"names"`
	Claimed []string `json:"claimed,omitempty"`
	Unclear []kind   `json:"unclear,omitempty"`
}

// MarshalJSON returns all that is known about the client; null for the unknown client.
func (c Client) MarshalJSON() ([]byte, error) {
	if !c.known {
		return []byte("null"), nil
	}
	texts := func(names []name) []string {
		out := []string{}
		for _, n := range names {
			out = append(out, n.text)
		}
		return out
	}
	return json.Marshal(document{texts(c.names), texts(c.claimed), c.unclear})
}

// UnmarshalJSON reads what [Client.MarshalJSON] returns, and nothing else.
func (c *Client) UnmarshalJSON(data []byte) error {
	var doc *document
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return fmt.Errorf("the client can't be read: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the client")
	}
	*c = Client{}
	if doc == nil {
		return nil
	}
	read := Client{known: true}
	for _, list := range []struct {
		texts []string
		into  *[]name
	}{{doc.Names, &read.names}, {doc.Claimed, &read.claimed}} {
		if len(list.texts) > maxNames {
			return fmt.Errorf("the client has more than %d names", maxNames)
		}
		for _, s := range list.texts {
			n, err := readName(s)
			if err != nil {
				return fmt.Errorf("the client's name %s %w", safetext.Quote(s), err)
			}
			*list.into = append(*list.into, n)
		}
	}
	for _, k := range doc.Unclear {
		if !slices.Contains(Unreadable().unclear, k) {
			return fmt.Errorf("the client has names of an unknown kind %s", safetext.Quote(string(k)))
		}
		read.blur(k)
	}
	*c = read
	return nil
}

// readName reads a name that a client has.
func readName(s string) (name, error) {
	for _, k := range []kind{kindUser, kindGroup} {
		if n := number(k, overflow); n.text == s { // no pattern is for it
			return n, nil
		}
	}
	return parseName(s, false)
}
