package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// epochOption is the date of an image's files. It is a number of seconds, or it names a stage or a
// context. docker/dockerfile downloads such a source for its date before it returns
// (frontend/dockerfile/dockerfile2llb/epoch.go, since BuildKit v0.34).
const epochOption = optionkeys.BuildArgPrefix + "SOURCE_DATE_EPOCH"

// holdEpoch keeps a forwarded frontend from the sources that a date can name, because the rules on
// sources are applied only when it has returned. A request without a date gets an empty one, which
// replaces the build file's own. A request whose date names a source is refused: the reason is
// returned, else "".
func (d *Decision) holdEpoch(r Request) string {
	if d.Dispatch != DispatchForward || !slices.ContainsFunc(buildrules.Kinds(),
		func(k buildrules.Kind) bool { return k.IsSource() && d.Enforces(k) }) {
		return ""
	}
	o := &d.Obligations
	if _, ok := o.Force[epochOption]; ok { // the policy's own
		return ""
	}
	value, given := r.Options[epochOption]
	if slices.Contains(o.Strip, epochOption) {
		given = false
	}
	if !given {
		o.Force = maps.Clone(o.Force)
		if o.Force == nil {
			o.Force = map[string]string{}
		}
		o.Force[epochOption] = ""
		return ""
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil || value == "" {
		return ""
	}
	return fmt.Sprintf("%s=%s can name a source, which the frontend would read before the build rules "+
		"are applied (dispatch: forward); give a number of seconds, or ask for dispatch: mediate",
		epochOption, safetext.Plain(value))
}
