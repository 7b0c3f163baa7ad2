package policy_test

import (
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const document = `version: 1
id: corp
contact: "#build-help"
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    versions: ">=1.4 <2"
`

// layers parses the document and stacks no overlay on it.
func layers() policy.Layers {
	p, err := policy.Parse("policy.yaml", []byte(document))
	if err != nil {
		panic(err)
	}
	l, err := policy.Stack(p, nil)
	if err != nil {
		panic(err)
	}
	return l
}

// ask decides on a frontend by its reference alone.
func ask(reference string) policy.Request {
	ref, err := imageref.Parse(reference)
	if err != nil {
		panic(err)
	}
	return policy.Request{Requested: reference, Reference: ref}
}

func ExampleParse() {
	p, err := policy.Parse("policy.yaml", []byte(document))
	if err != nil {
		panic(err)
	}
	doc := p.Document()
	fmt.Println(doc.ID, doc.Default, doc.Frontends[0].Patterns())
	// Output: corp deny [docker.io/docker/dockerfile]
}

func ExampleParse_errors() {
	_, err := policy.Parse("policy.yaml", []byte("version: 1\nfrontend: []\n"))
	var broken *policy.ParseError
	if errors.As(err, &broken) {
		for _, p := range broken.Problems {
			fmt.Printf("line %d, column %d: %s\n", p.Line, p.Column, p.Message)
		}
	}
	// Output: line 2, column 1: unknown field "frontend"; did you mean "frontends"?
}

func ExampleLoad() {
	// Programs that read from a disk pass the FS of an os.Root.
	fsys := fstest.MapFS{
		"policy.yaml":     {Data: []byte("version: 1\ninclude: [team/rules.yaml]\n")},
		"team/rules.yaml": {Data: []byte("version: 1\nfrontends:\n- {name: team, match: [corp.example/frontends/*]}\n")},
	}
	p, err := policy.Load(fsys, "policy.yaml")
	if err != nil {
		panic(err)
	}
	for _, r := range p.Document().Frontends {
		fmt.Printf("%s (%s:%d)\n", r.Name, r.File(), r.Line())
	}
	// Output: team (team/rules.yaml:3)
}

func ExampleDecide() {
	for _, reference := range []string{"docker/dockerfile:1.7", "docker/dockerfle:1.7"} {
		d := policy.Decide(layers(), ask(reference))
		fmt.Println(d.Verdict, d.Reason)
	}
	// Output:
	// allow rule "dockerfile" allows docker/dockerfile:1.7
	// deny no rule allows docker/dockerfle:1.7; did you mean docker/dockerfile?
}

func ExampleDecision_Text() {
	d := policy.Decide(layers(), ask("docker/dockerfile:1.3"))
	d.Policy.Digest = "" // It changes with each letter of the document.
	fmt.Println(d.Text("line 1 of Dockerfile"))
	// Output:
	// frontend docker/dockerfile:1.3 is refused: rule "dockerfile" would allow it, but only with the versions >=1.4 <2, not 1.3
	//   requested by: line 1 of Dockerfile
	//   image:        docker.io/docker/dockerfile:1.3
	//   rule:         default
	//   policy:       corp
	//   allowed:      docker/dockerfile (versions >=1.4 <2)
	//   contact:      #build-help
}

func ExampleExplain() {
	trace := policy.Explain(layers(), ask("docker/dockerfile:1.3"))
	for _, s := range trace.Steps {
		fmt.Printf("%s: %s\n", s.Kind, s.Reason)
	}
	// Output:
	// reference: it means docker.io/docker/dockerfile:1.3
	// rule: rule "dockerfile" would allow it, but only with the versions >=1.4 <2, not 1.3
	// layer: rule "dockerfile" would allow it, but only with the versions >=1.4 <2, not 1.3
}
