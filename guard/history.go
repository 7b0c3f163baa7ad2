package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/proto"
)

// maxFilter bounds the filters of a request, in bytes. The daemon compares each record of all
// clients with them.
const maxFilter = 4 << 10

// checkFilters refuses filters that are too long.
func checkFilters(filters []string) error {
	size := 0
	for _, f := range filters {
		size += len(f)
	}
	if size > maxFilter {
		return fmt.Errorf("the filters have more than %d bytes", maxFilter)
	}
	return nil
}

// listenHistory passes on the caller's records of the history.
func (c *call) listenHistory() error {
	var req controlapi.BuildHistoryRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if req.Ref != "" {
		var err error
		if req.Ref, err = c.ref(req.Ref); err != nil {
			return err
		}
	}
	if err := checkFilters(req.Filter); err != nil {
		return c.refuse(err)
	}
	// The daemon would count the records of all clients. Without EarlyExit there is no end at which
	// the newest ones are known, so the client gets all.
	limit := int(req.Limit)
	req.Limit = 0
	if !req.EarlyExit {
		limit = 0
	}
	ctx, cancel := context.WithCancel(c.outgoing(c.stream.Context()))
	defer cancel()
	events, err := controlapi.NewControlClient(c.guard.daemon).ListenBuildHistory(ctx, &req)
	if err != nil {
		return c.fromDaemon(err)
	}
	if header, err := events.Header(); err == nil {
		if err := c.raw().SendHeader(header); err != nil {
			return err
		}
	}
	var kept []*controlapi.BuildHistoryEvent
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return c.sendNewest(kept, limit)
		}
		if err != nil {
			return c.fromDaemon(err)
		}
		if !c.makeOwn(event) {
			continue
		}
		if limit > 0 {
			if err := c.take(proto.Size(event)); err != nil {
				return err
			}
			kept = append(kept, event)
			continue
		}
		if err := c.send(event); err != nil {
			return err
		}
	}
}

// sendNewest sends the newest events.
func (c *call) sendNewest(events []*controlapi.BuildHistoryEvent, limit int) error {
	slices.SortStableFunc(events, func(a, b *controlapi.BuildHistoryEvent) int {
		return b.Record.CreatedAt.AsTime().Compare(a.Record.CreatedAt.AsTime())
	})
	for _, event := range events[:min(len(events), limit)] {
		if err := c.send(event); err != nil {
			return err
		}
	}
	return nil
}

// makeOwn reports whether an event is about a record of the caller. It replaces the daemon's names
// in it, and lets the caller read the content that the record names.
func (c *call) makeOwn(event *controlapi.BuildHistoryEvent) bool {
	client, own := c.guard.names.clientRef(c.who, event.GetRecord().GetRef())
	if !own {
		return false
	}
	event.Record.Ref = client
	if e := event.Record.Error; e != nil {
		c.guard.scrubStatus(c.who, e)
	}
	c.guard.readable.add(c.who, digestsOf(event.Record), madeBy{})
	return true
}

// digestsOf returns the digests of all content that a record names.
func digestsOf(r *controlapi.BuildHistoryRecord) []string {
	named := []*controlapi.Descriptor{r.GetLogs(), r.GetTrace(), r.GetExternalError()}
	infos := []*controlapi.BuildResultInfo{r.GetResult()}
	for _, info := range r.GetResults() {
		infos = append(infos, info)
	}
	for _, info := range infos {
		named = append(named, info.GetResultDeprecated())
		named = append(named, info.GetAttestations()...)
		for _, result := range info.GetResults() {
			named = append(named, result)
		}
	}
	var digests []string
	for _, d := range named {
		if d.GetDigest() != "" {
			digests = append(digests, d.GetDigest())
		}
	}
	return digests
}

// updateHistory changes a record of the caller.
func (c *call) updateHistory() error {
	var req controlapi.UpdateBuildHistoryRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	var err error
	if req.Ref, err = c.ref(req.Ref); err != nil {
		return err
	}
	return c.invoke(c.outgoing(c.stream.Context()), &req, &controlapi.UpdateBuildHistoryResponse{})
}

var errOthersContent = errors.New("no record of the history that this client has seen names the " +
	"content")

// contentInfo tells the size of content that a record of the caller names.
func (c *call) contentInfo() error {
	var req contentapi.InfoRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if known, _ := c.guard.readable.has(c.who, req.Digest); !known {
		return c.refuse(errOthersContent)
	}
	return c.invoke(c.outgoing(c.stream.Context()), &req, &contentapi.InfoResponse{})
}

// contentRead passes on content that a record of the caller names.
func (c *call) contentRead() error {
	var req contentapi.ReadContentRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if known, _ := c.guard.readable.has(c.who, req.Digest); !known {
		return c.refuse(errOthersContent)
	}
	f, err := written(&req)
	if err != nil {
		return err
	}
	return c.pipe(c.outgoing(c.stream.Context()), f)
}
