package guard

import (
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	// maxSessions is how many sessions an identity can have at the same time.
	maxSessions = 1000
	// afterlife is how long nobody else may take the name of a session that has ended. A build may
	// still wait for it.
	afterlife = time.Hour
)

// itself is the owner of the guard's own sessions. No client has this identity.
const itself Identity = "guard"

// sessions knows whose the sessions are. The daemon lets a second connection with the name of a
// session replace the first one (session/manager.go).
type sessions struct {
	mu  sync.Mutex
	of  map[string]*owned
	now func() time.Time
}

type owned struct {
	owner Identity
	live  bool
	ended time.Time
}

func newSessions() *sessions { return &sessions{of: map[string]*owned{}, now: time.Now} }

var (
	errOthersSession = errors.New("the session id belongs to another client")
	errSessionName   = errors.New("the session id has other characters than letters, digits, _ and " +
		"-, or has more than 128")
)

// connect makes a session live. end is called when its connection has ended.
func (s *sessions) connect(id string, who Identity) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.take(id, who)
	switch {
	case err != nil:
		return nil, err
	case of.live:
		return nil, errors.New("a session with this id is connected already")
	}
	of.live = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		of.live, of.ended = false, s.now()
	}, nil
}

// claim makes a session that may not be connected yet the caller's own.
func (s *sessions) claim(id string, who Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.take(id, who)
	return err
}

// owns reports whether a session is the identity's own. The daemon uses what follows a colon.
func (s *sessions) owns(id string, who Identity) bool {
	if _, rest, ok := strings.Cut(id, ":"); ok && rest != "" {
		id = rest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of[id]
	return of != nil && of.owner == who
}

// owner returns whose a session is, or whose it was until lately. It is "" if nobody knows.
func (s *sessions) owner(id string) Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.of[id]; of != nil {
		return of.owner
	}
	return ""
}

// take returns the caller's session.
func (s *sessions) take(id string, who Identity) (*owned, error) {
	if !clientName.MatchString(id) {
		return nil, errSessionName
	}
	own, oldest := 0, ""
	for name, of := range s.of {
		if !of.live && s.now().Sub(of.ended) > afterlife {
			delete(s.of, name)
			continue
		}
		if of.owner == who {
			own++
			if !of.live && (oldest == "" || of.ended.Before(s.of[oldest].ended)) {
				oldest = name
			}
		}
	}
	if of := s.of[id]; of != nil {
		if of.owner != who {
			return nil, errOthersSession
		}
		return of, nil
	}
	if own >= maxSessions && who != itself {
		if oldest == "" {
			return nil, errors.New("the client has too many sessions")
		}
		delete(s.of, oldest)
	}
	of := &owned{owner: who, ended: s.now()}
	s.of[id] = of
	return of, nil
}
