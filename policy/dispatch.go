package policy

// Dispatch says how an allowed frontend runs.
type Dispatch string

// The dispatchers.
const (
	// DispatchForward has the daemon run the frontend's image. What it builds can be
	// judged when it has returned its result, and no earlier.
	DispatchForward Dispatch = "forward"
	// DispatchMediate runs the frontend's image in a container of the policy frontend's,
	// and judges each of its calls before the daemon sees it.
	DispatchMediate Dispatch = "mediate"
	// DispatchBuiltin runs the Dockerfile frontend that is a part of the policy
	// frontend instead of an image, and judges each of its calls.
	DispatchBuiltin Dispatch = "builtin"
)
