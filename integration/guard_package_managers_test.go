package integration

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

func TestExamplePolicyForGo(t *testing.T) {
	t.Parallel()
	const base, storage = "https://proxy.golang.org", "https://storage.googleapis.com"
	s := newStandIns(t, "proxy.golang.org", "storage.googleapis.com")
	const module = "example.com/hello@v1.0.0"
	packed := zipped(t, map[string]string{
		module + "/go.mod":   "module example.com/hello\n",
		module + "/hello.go": "package hello // is downloaded\n",
	})
	s.add(base, "/example.com/hello/@v/v1.0.0.info", []byte(`{"Version": "v1.0.0"}`))
	s.add(base, "/example.com/hello/@v/v1.0.0.mod", []byte("module example.com/hello\n"))
	// As the module mirror does for large modules.
	s.redirects[base+"/example.com/hello/@v/v1.0.0.zip"] = storage + "/proxy-golang-org-prod/hello.zip"
	s.files[storage+"/proxy-golang-org-prod/hello.zip"] = packed

	goroot, err := provision.GoEnv(env.Tools.Root, "GOROOT")
	require.NoError(t, err)
	var files []registry.File
	for _, name := range []string{"bin/go", "go.env", "VERSION"} {
		files = append(files, registry.File{
			Path: "/go/" + name, Mode: 0o755, Source: filepath.Join(goroot, name),
		})
	}
	// The checksum database signs what it says, so that nothing can stand in for it.
	image := s.image(t, "go", []string{"GOROOT=/go", "GOTOOLCHAIN=local", "GOSUMDB=off"}, files...)
	const download = "/go/bin/go mod download " + module
	s.try(t, image, download+" && cat /root/go/pkg/mod/"+module+"/hello.go",
		"GOPROXY=https://"+otherHost+" "+download)
	require.NotEmpty(t, s.got("storage.googleapis.com"))
}

func TestExamplePolicyForNpm(t *testing.T) {
	t.Parallel()
	node, script := found(t, "node"), found(t, "npm")
	folder := filepath.Dir(filepath.Dir(script)) // the script is bin/npm-cli.js
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		t.Skip("this machine's npm isn't in one folder")
	}
	const base = "https://registry.npmjs.org"
	s := newStandIns(t, "registry.npmjs.org")
	packed := gzipped(t, harness.TarContext(t, map[string]string{
		"package/package.json": `{"name": "hello", "version": "1.0.0"}`,
		"package/hello.js":     "// is downloaded\n",
	}))
	sum := sha512.Sum512(packed)
	s.add(base, "/hello/-/hello-1.0.0.tgz", packed)
	s.add(base, "/hello", fmt.Appendf(nil, `{"name": "hello", "dist-tags": {"latest": "1.0.0"},
		"versions": {"1.0.0": {"name": "hello", "version": "1.0.0", "dist": {
			"tarball": "%s/hello/-/hello-1.0.0.tgz", "integrity": "sha512-%s"}}}}`,
		base, base64.StdEncoding.EncodeToString(sum[:])))

	files := append(withLibraries(t, node), tree(t, folder, "/npm")...)
	// Node has a list of authorities of its own.
	image := s.image(t, "npm",
		[]string{"NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"}, files...)
	install := "cd /tmp && " + node + " /npm/bin/npm-cli.js install hello"
	s.try(t, image, install+" && cat node_modules/hello/hello.js",
		"("+install+" --registry=https://"+otherHost+"/)")
}

func TestExamplePolicyForApt(t *testing.T) {
	t.Parallel()
	apt := found(t, "apt-get")
	const base = "http://deb.debian.org"
	s := newStandIns(t)
	archive := []byte("is downloaded\n")
	index := fmt.Appendf(nil, "Package: hello\nVersion: 1.0\nArchitecture: %s\n"+
		"Filename: pool/hello.deb\nSize: %d\nSHA256: %x\nDescription: hello\nMaintainer: us\n\n",
		runtime.GOARCH, len(archive), sha256.Sum256(archive))
	packages := "main/binary-" + runtime.GOARCH + "/Packages"
	s.add(base, "/debian/pool/hello.deb", archive)
	s.add(base, "/debian/dists/stable/"+packages, index)
	s.add(base, "/debian/dists/stable/Release", fmt.Appendf(nil,
		"Suite: stable\nCodename: stable\nArchitectures: %s\nComponents: main\n"+
			"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %x %d %s\n",
		runtime.GOARCH, sha256.Sum256(index), len(index), packages))

	programs := []string{apt}
	for _, method := range []string{"http", "store", "copy", "file", "gpgv"} {
		programs = append(programs, "/usr/lib/apt/methods/"+method)
	}
	files := append(withLibraries(t, programs...),
		registry.File{Path: "/var/lib/dpkg/status", Mode: 0o644},
		registry.File{Path: "/etc/apt/apt.conf", Mode: 0o644, Data: fmt.Appendf(nil,
			"APT::Architecture %q;\nAPT::Architectures {%[1]q;};\nAPT::Sandbox::User \"root\";\n",
			runtime.GOARCH)},
		registry.File{
			Path: "/etc/apt/sources.list", Mode: 0o644,
			Data: []byte("deb [trusted=yes] " + base + "/debian stable main\n"),
		},
	)
	tables, err := filepath.Glob("/usr/share/dpkg/*table") // the names of architectures
	require.NoError(t, err)
	for _, table := range tables {
		files = append(files, registry.File{Path: table, Mode: 0o644, Source: table})
	}
	for _, dir := range []string{
		"/var/lib/apt/lists/partial", "/var/cache/apt/archives/partial", "/etc/apt/apt.conf.d",
		"/etc/apt/preferences.d", "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg.d",
	} {
		files = append(files, registry.File{Path: dir, Mode: os.ModeDir | 0o755})
	}
	image := s.image(t, "apt", nil, files...)
	s.try(t, image, "cd /tmp && apt-get update && apt-get download hello && cat hello_*.deb",
		"(sed -i s/deb.debian.org/"+otherHost+"/ /etc/apt/sources.list && apt-get update)")
	require.True(t, slices.Contains(s.got("deb.debian.org"), base+"/debian/pool/hello.deb"))
}

func TestExamplePolicyForCargo(t *testing.T) {
	cargo := found(t, "cargo")
	if out, err := exec.Command("rustup", "which", "cargo").Output(); err == nil {
		cargo = strings.TrimSpace(string(out)) // which the cargo of rustup would run
	}
	const index, storage = "https://index.crates.io", "https://static.crates.io"
	s := newStandIns(t, "index.crates.io", "static.crates.io")
	manifest := "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n"
	crate := gzipped(t, harness.TarContext(t, map[string]string{
		"hello-1.0.0/Cargo.toml": manifest, "hello-1.0.0/src/lib.rs": "// is downloaded\n",
	}))
	s.add(index, "/config.json", []byte(`{"dl": "`+storage+`/crates", "api": "https://crates.io"}`))
	s.add(index, "/he/ll/hello", fmt.Appendf(nil, `{"name": "hello", "vers": "1.0.0", "deps": [], `+
		`"cksum": "%x", "features": {}, "yanked": false}`+"\n", sha256.Sum256(crate)))
	s.add(storage, "/crates/hello/1.0.0/download", crate)

	image := s.image(t, "cargo", nil, append(withLibraries(t, cargo),
		registry.File{
			Path: "/tmp/Cargo.toml", Mode: 0o644,
			Data: []byte(strings.Replace(manifest, "hello", "tests", 1) +
				"[dependencies]\nhello = \"1\"\n"),
		},
		registry.File{Path: "/tmp/src/lib.rs", Mode: 0o644},
	)...)
	// Of the commands that download, this one needs no compiler.
	const vendor = " vendor --respect-source-config --manifest-path /tmp/Cargo.toml /tmp/vendor"
	s.try(t, image, cargo+vendor+" && cat /tmp/vendor/hello/src/lib.rs",
		cargo+` --config 'source.crates-io.replace-with = "other"'`+
			` --config 'source.other.registry = "sparse+https://`+otherHost+`/"'`+vendor)
}

func TestExamplePolicyForPip(t *testing.T) {
	out, err := exec.Command("python3", "-c", `import os, sys, sysconfig, pip
for path in sys.executable, sysconfig.get_path("stdlib"), os.path.dirname(pip.__file__):
    print(os.path.realpath(path))`).Output()
	if err != nil {
		t.Skip("this machine has no python3 with pip")
	}
	paths := strings.Fields(string(out))
	python, library, pip := paths[0], paths[1], paths[2]
	const index, storage = "https://pypi.org", "https://files.pythonhosted.org"
	s := newStandIns(t, "pypi.org", "files.pythonhosted.org")
	const wheel = "/packages/hello-1.0-py3-none-any.whl"
	packed := zipped(t, map[string]string{
		"hello.py":                     `print("is downloaded")`,
		"hello-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
		"hello-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n" +
			"Tag: py3-none-any\n",
		"hello-1.0.dist-info/RECORD": "",
	})
	s.add(storage, wheel, packed)
	s.add(index, "/simple/hello/", fmt.Appendf(nil,
		`<!DOCTYPE html><a href="%s%s#sha256=%x">hello</a>`, storage, wheel, sha256.Sum256(packed)))

	programs := []string{python}
	for _, extension := range []string{"_hashlib", "_ssl", "zlib"} { // which load libraries
		paths, err := filepath.Glob(filepath.Join(library, "lib-dynload", extension+".*"))
		require.NoError(t, err)
		programs = append(programs, paths...)
	}
	files := append(withLibraries(t, programs...), tree(t, library, library, "site-packages",
		"dist-packages", "__pycache__", "config-*", "test", "idlelib", "tkinter")...)
	files = append(files, tree(t, pip, "/pip", "__pycache__")...)
	// pip has a list of authorities of its own.
	image := s.image(t, "pip", []string{"PIP_CERT=/etc/ssl/certs/ca-certificates.crt"}, files...)
	install := python + " /pip install --target /tmp hello"
	s.try(t, image, install+" && PYTHONPATH=/tmp "+python+" -m hello",
		install+" --index-url https://"+otherHost+"/simple/")
}

// javaPrograms is the page's command for programs of Java, with another program than the page's.
func javaPrograms(t *testing.T, program string) string {
	t.Helper()
	for _, block := range pageBlock.FindAllStringSubmatch(docsPage(t, "guard.md"), -1) {
		if before, ok := strings.CutSuffix(block[2], "mvn verify\n"); ok {
			return strings.TrimPrefix(before, "RUN ") + program
		}
	}
	require.Fail(t, "the page has no such command")
	return ""
}

func TestExamplePolicyForMaven(t *testing.T) {
	maven := filepath.Dir(filepath.Dir(found(t, "mvn")))
	java := filepath.Dir(filepath.Dir(found(t, "java")))
	const base = "https://repo.maven.apache.org"
	s := newStandIns(t, "repo.maven.apache.org")
	const coordinates = "<groupId>example</groupId><artifactId>hello</artifactId><version>1</version>"
	project := func(content string) []byte {
		return []byte("<project><modelVersion>4.0.0</modelVersion><packaging>pom</packaging>" +
			content + "</project>")
	}
	s.add(base, "/maven2/example/hello/1/hello-1.pom",
		project(coordinates+"<properties><text>is downloaded</text></properties>"))

	files := withLibraries(t, java+"/bin/java", java+"/bin/keytool", java+"/lib/server/libjvm.so",
		java+"/lib/libzip.so")
	files = append(files, tree(t, java, java, "bin", "ct.sym", "demo", "include", "jmods", "legal",
		"libjvm.so", "man", "*.jsa", "src.zip")...)
	files = append(files, tree(t, maven, maven)...)
	conf, err := filepath.EvalSymlinks(maven + "/conf")
	require.NoError(t, err)
	files = append(files, tree(t, conf, maven+"/conf")...)
	files = append(files,
		registry.File{Path: "/tmp/pom.xml", Mode: 0o644, Data: project(
			"<parent>" + coordinates + "<relativePath/></parent><artifactId>tests</artifactId>" +
				"<name>${text}</name>",
		)},
		registry.File{Path: "/tmp/other.xml", Mode: 0o644, Data: []byte(
			"<settings><mirrors><mirror><id>other</id><mirrorOf>central</mirrorOf>" +
				"<url>https://" + otherHost + "/maven2</url></mirror></mirrors></settings>",
		)},
	)
	image := s.image(t, "maven", []string{
		"JAVA_HOME=" + java, "PATH=/bin:/usr/bin:" + java + "/bin:" + maven + "/bin",
		"MAVEN_OPTS=-XX:TieredStopAtLevel=1", // starts sooner
	}, files...)
	// Of the goals that download, this one needs no plugin. It prints the project's name.
	const validate = "mvn -B -f /tmp/pom.xml validate"
	s.try(t, image, javaPrograms(t, validate),
		"("+javaPrograms(t, validate+" -s /tmp/other.xml")+")")
}

// zipped is a zip archive of files.
func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for name, text := range files {
		w, err := z.Create(name)
		require.NoError(t, err)
		_, err = w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return packed.Bytes()
}

// gzipped is compressed data.
func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(data)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return packed.Bytes()
}
