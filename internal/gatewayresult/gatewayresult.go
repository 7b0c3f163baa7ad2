// Package gatewayresult looks into the results of the gateway API.
package gatewayresult

import (
	"iter"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
)

// IsKnown reports whether a result has a form that [References] knows. Those from before v0.9 are
// not known.
func IsKnown(res *gwpb.Result) bool {
	switch res.GetResult().(type) {
	case *gwpb.Result_Ref, *gwpb.Result_Refs:
		return true
	}
	return false
}

// References yields the references of a result, including those of attestations. None is nil.
func References(res *gwpb.Result) iter.Seq[*gwpb.Ref] {
	return func(yield func(*gwpb.Ref) bool) {
		some := func(ref *gwpb.Ref) bool { return ref == nil || yield(ref) }
		switch r := res.GetResult().(type) {
		case *gwpb.Result_Ref:
			if !some(r.Ref) {
				return
			}
		case *gwpb.Result_Refs:
			for _, ref := range r.Refs.GetRefs() {
				if !some(ref) {
					return
				}
			}
		}
		for _, as := range res.GetAttestations() {
			for _, a := range as.GetAttestation() {
				if !some(a.GetRef()) {
					return
				}
			}
		}
	}
}
