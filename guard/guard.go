// Package guard is a proxy for BuildKit's API that stands before buildkitd's socket. Each call of
// each client passes it. What it doesn't know, it refuses.
//
// One table has a row for each method that the daemon serves; see [Guard.Server]. Who calls is
// known from the connection, by [PeerCredentials] or [ClientCertificates]. A build, a session or a
// record of the history belongs to the identity that made it, and others can neither see nor name
// it.
//
// The package decides nothing about frontends itself.
package guard

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Options are the settings of a Guard.
type Options struct {
	// PolicyPath is the file with the policy. A change counts from the next build on. While the file
	// is invalid, the last valid policy stays in force.
	PolicyPath string
	// Image is the reference of the policy frontend's image to which builds are handed over that the
	// daemon alone can't hold to the policy. "" refuses those builds.
	Image string
	// Key is the secret from which the names of builds at the daemon are made. With the same key,
	// a guard that was restarted knows whose builds the history has. It has at least 32 bytes. Nil
	// is a random one.
	Key []byte
	// Memory is how many bytes the requests and answers of all clients may take together, by an
	// estimate. The program takes up to twice as much. It is at least [MinMemory]; 0 is
	// [DefaultMemory].
	Memory int64
	// AcceptOldDaemon lets a daemon build that doesn't ask about everything that it reads.
	AcceptOldDaemon bool
	// Log receives a line for each decision, each refusal and each change of the policy. Nil discards
	// them.
	Log *slog.Logger
	// Summaries says how the guard signs what it has allowed. Nil signs nothing.
	Summaries *Summaries
	// Observer is told of the same. It may be nil.
	Observer Observer
	// Record is what each build is recorded in. Without its line there, no build begins. Nil records
	// nothing.
	Record *RecordFile
}

// Guard stands before one daemon. There must be one Guard for a daemon, because it keeps the
// sessions of clients apart. Several servers may share it; see [Guard.Server].
type Guard struct {
	daemon   *grpc.ClientConn
	names    names
	sessions *sessions
	builds   *builds
	readable *remembered // digests of content; the daemon shows all of it to everybody
	results  *remembered // identities of definitions (llbops.Identity)
	policy   policyFile
	image    string // of --image; "" for none
	health   *health
	log      *slog.Logger
	observe  Observer
	refusals *refusals
	memory   *memory
	clients  *connections
	recorder *recorder // nil for none
	lineages lineages
	starts   *starts

	summaries *Summaries // nil for none
	// unwatched says that a frontend that nobody allowed has run unwatched; see
	// [build.noteUnwatched].
	unwatched atomic.Bool

	messageTimeout time.Duration
	answerTimeout  time.Duration
	lateTime       time.Duration

	acceptOldDaemon bool
}

// New returns a guard before the daemon to which [Dial] connects. It fails if the policy isn't
// valid, if the key is too short, if Image isn't a reference, if there is too little memory, if
// summaries are signed for an old daemon, or if the record can't be read.
func New(daemon *grpc.ClientConn, o Options) (*Guard, error) {
	key := o.Key
	if key == nil {
		key = make([]byte, minKey)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) < minKey {
		return nil, errors.New("the key has less than 32 bytes")
	}
	g := &Guard{
		daemon: daemon, names: names{key: key}, sessions: newSessions(), builds: newBuilds(),
		starts:   newStarts(),
		readable: newRemembered(maxReadable, 0), results: newRemembered(maxResults, resultsFor),
		health: &health{}, log: o.Log, observe: o.Observer, refusals: newRefusals(),
		acceptOldDaemon: o.AcceptOldDaemon, image: o.Image, messageTimeout: messageTimeout,
		answerTimeout: answerTimeout, lateTime: lateTime, summaries: o.Summaries,
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Memory < MinMemory {
		return nil, fmt.Errorf("the memory has less than %d bytes", MinMemory)
	}
	g.memory = newMemory(o.Memory)
	g.clients = newConnections(g)
	if o.Summaries != nil && o.AcceptOldDaemon {
		return nil, errors.New("no summaries can be signed for a daemon that may be too old to ask about " +
			"everything that it reads")
	}
	if o.Image != "" {
		if _, err := imageref.Parse(o.Image); err != nil {
			return nil, fmt.Errorf("the image: %w", err)
		}
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.observe == nil {
		g.observe = unobserved{}
	}
	var err error
	if g.policy, err = openPolicy(o.PolicyPath, g.log, g.observe); err != nil {
		return nil, err
	}
	if g.recorder, err = newRecorder(o.Record, g.log, g.builds.ending); err != nil {
		return nil, err
	}
	return g, nil
}

// Server returns a server for clients that creds identifies: [PeerCredentials] or
// [ClientCertificates].
func (g *Guard) Server(creds credentials.TransportCredentials) *grpc.Server {
	if i, ok := creds.(*identify); ok {
		creds = i.countedBy(g.clients)
	}
	return rawcall.Server(creds, g.arrive, g.serve)
}
