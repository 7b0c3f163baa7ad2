package survey

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatDependsOnAnUnsetVariableIsUnknown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rules, file string
		want              []string
	}{
		{
			"an ADD whose source may be a URL", "http: deny", "FROM scratch\nARG U\nADD ${U} /x\n",
			[]string{"4 undecidable http"},
		},
		{
			"an ADD whose source may be a repository", "git: deny", "FROM scratch\nARG U\nADD $U /x\n",
			[]string{"4 undecidable http"},
		},
		{
			"an ADD whose scheme is unset", "http: deny", "FROM scratch\nARG S\nADD ${S}://x.example/a /x\n",
			[]string{"4 undecidable http"},
		},
		{
			"an ADD of files below a directory", "http: deny", "FROM scratch\nARG U\nADD a/$U /x\n", nil,
		},
		{
			"an ADD with a default", "http: deny", "FROM scratch\nARG U=a\nADD $U /x\n", nil,
		},
		{
			"an ADD that no rule is about", "images: {deny: [\"quay.io/**\"]}",
			"FROM scratch\nARG U\nADD $U /x\n", nil,
		},
		{
			"a part of a secret's name", "exec: {secrets: [\"npm*\"], deny: {secrets: [npm-publish]}}",
			"FROM alpine\nARG X\nRUN --mount=type=secret,id=npm${X} true\n",
			[]string{"4 undecidable exec"},
		},
		{
			"a part of an ssh agent's name", "exec: {ssh: [\"a*\"], deny: {ssh: [ab]}}",
			"FROM alpine\nARG X\nRUN --mount=id=a${X},type=ssh true\n",
			[]string{"4 undecidable exec"},
		},
		{
			"a refused network beside it stays refused",
			"exec: {secrets: [\"npm*\"], deny: {secrets: [npm-publish]}}",
			"FROM alpine\nARG X\nRUN --network=host --mount=type=secret,id=npm${X} true\n",
			[]string{"4 deny exec", "4 undecidable exec"},
		},
		{
			"a secret that is refused without the value", "exec: {secrets: [\"npm*\"]}",
			"FROM alpine\nARG X\nRUN --mount=type=secret,id=aws${X} true\n",
			[]string{"4 deny exec"},
		},
		{
			"a part of a device's name",
			"exec: {devices: [\"a.example/*\"], deny: {devices: [a.example/bc]}}",
			"FROM alpine\nARG X\nRUN --device=a.example/b${X} true\n",
			[]string{"4 undecidable exec"},
		},
		{
			"a variable of the shell", "exec: {secrets: [\"npm*\"], deny: {secrets: [npm-publish]}}",
			"FROM alpine\nARG X\nRUN --mount=type=secret,id=npm echo $X\n", nil,
		},
		{
			"the key of a label", "config: {labels: {forbid: [\"bad*\"]}}",
			"FROM scratch\nARG L\nLABEL b${L}d=x\n",
			[]string{"2 undecidable config"},
		},
		{
			"the value of a label", "config: {labels: {forbid: [\"bad*\"]}}",
			"FROM scratch\nARG L\nLABEL a=$L\n", nil,
		},
		{
			"the key of a variable", "config: {env: {forbid: [\"BAD*\"]}}",
			"FROM scratch\nARG L\nENV B${L}D=x\n",
			[]string{"2 undecidable config"},
		},
		{
			"the value of a variable", "config: {env: {forbid: [\"BAD*\"]}}",
			"FROM scratch\nARG L\nENV A=$L\n", nil,
		},
		{
			"a part of the user", "config: {user: {forbid: [app1]}}",
			"FROM scratch\nARG U\nUSER app$U\n",
			[]string{"4 undecidable config"},
		},
		{
			"a part of the user in the stage below", "config: {user: {forbid: [app1]}}",
			"FROM scratch AS a\nARG U\nUSER app$U\nFROM a\n",
			[]string{"5 undecidable config"},
		},
		{
			"the user of a stage that only gives files", "config: {user: {forbid: [app1]}}",
			"FROM scratch AS a\nARG U\nUSER app$U\nFROM scratch\nCOPY --from=a /a /a\nUSER x\n", nil,
		},
		{
			"a part of a port", "config: {ports: {forbid: [\"22\"]}}",
			"FROM scratch\nARG P\nEXPOSE 2$P\n",
			[]string{"2 undecidable config"},
		},
		{
			"a part of a volume", "config: {volumes: {forbid: [/var]}}",
			"FROM scratch\nARG V\nVOLUME /v$V\n",
			[]string{"2 undecidable config"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSurvey(t, "version: 1\ndispatch: mediate\nbuild: {"+tt.rules+"}\n"+
				"frontends: [{match: [docker/dockerfile]}]\n")
			got := s.Check(t.Context(), dockerfile(tt.file))
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, short(got), "%+v", got.Findings)
		})
	}
}
