package buildrules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// Entitlement is a permission that a client asks the daemon to give to the commands of a build. The
// zero Entitlement is none. [ParseEntitlement] makes the others.
type Entitlement struct {
	text   string
	field  string // of ExecRules
	device string // "" for all devices
}

// ParseEntitlement reads an entitlement as clients send it: network.host, security.insecure, device
// for all devices, or device=NAME. It fails for others, and for an alias: with one, commands would
// call a device by another name than rules know.
func ParseEntitlement(s string) (Entitlement, error) {
	name, device, named := strings.Cut(s, "=")
	e := Entitlement{text: s, device: device}
	switch {
	case s == "network.host":
		e.field = "networks"
	case s == "security.insecure":
		e.field = "insecure"
	case name == "device" && (!named || device != ""):
		e.field = "devices"
		if strings.ContainsAny(device, ",\"*") {
			return Entitlement{}, fmt.Errorf(
				"the entitlement %s is for a device by another name than its own; write device=NAME",
				safetext.Quote(s))
		}
		if named {
			return e, checkGlob(device)
		}
	default:
		return Entitlement{}, fmt.Errorf("the entitlement %s isn't known", safetext.Quote(s))
	}
	return e, nil
}

// String returns the entitlement as clients send it.
func (e Entitlement) String() string { return e.text }

// Field returns the field of build rules that lists what the entitlement is for.
func (e Entitlement) Field() string { return "exec." + e.field }

// Lists reports whether the rules say in so many words that commands can use what the entitlement
// is for. Rules that only don't deny it don't say so.
func (r *Rules) Lists(e Entitlement) bool {
	x := r.Exec
	if x == nil || x.Denied {
		return false
	}
	var uses Exec
	switch e.field {
	case "networks":
		if !slices.Contains(x.Networks, NetworkHost) {
			return false
		}
		uses.Network = NetworkHost
	case "insecure":
		if !x.Insecure {
			return false
		}
		uses.Insecure = true
	case "devices":
		if e.device == "" {
			return slices.Contains(x.Devices, "*") && (x.Deny == nil || len(x.Deny.Devices) == 0)
		}
		if globs.First(x.Devices, e.device) == "" {
			return false
		}
		uses.Devices = []string{e.device}
	default:
		return false
	}
	n, err := uses.normalize("a command")
	if err != nil {
		return false
	}
	return len(x.Deny.check(&n.process)) == 0
}
