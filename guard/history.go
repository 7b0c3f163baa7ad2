package guard

import (
	"errors"
	"io"

	controlapi "github.com/moby/buildkit/api/services/control"
)

// listenHistory passes on the caller's records of the history.
func (c *call) listenHistory() error {
	var req controlapi.BuildHistoryRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if req.Ref != "" {
		var err error
		if req.Ref, err = c.guard.names.ref(c.who, req.Ref); err != nil {
			return c.refuse(err)
		}
	}
	ctx := c.outgoing(c.stream.Context())
	events, err := controlapi.NewControlClient(c.guard.daemon).ListenBuildHistory(ctx, &req)
	if err != nil {
		return c.fromDaemon(err)
	}
	if header, err := events.Header(); err == nil {
		if err := c.sendHeader(header); err != nil {
			return err
		}
	}
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.fromDaemon(err)
		}
		client, own := c.guard.names.clientRef(c.who, event.GetRecord().GetRef())
		if !own {
			continue
		}
		event.Record.Ref = client
		if e := event.Record.Error; e != nil {
			e.Message = c.guard.scrubText(c.who, e.Message)
		}
		if err := c.send(event); err != nil {
			return err
		}
	}
}

// updateHistory changes a record of the caller.
func (c *call) updateHistory() error {
	var req controlapi.UpdateBuildHistoryRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	var err error
	if req.Ref, err = c.guard.names.ref(c.who, req.Ref); err != nil {
		return c.refuse(err)
	}
	return c.invoke(c.outgoing(c.stream.Context()), &req, &controlapi.UpdateBuildHistoryResponse{})
}
