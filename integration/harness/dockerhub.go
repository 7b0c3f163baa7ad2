package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

const (
	// hubHost is the server that docker.io means.
	hubHost = "registry-1.docker.io"

	// certificates is the file of an image in which programs look for certificate
	// authorities.
	certificates = "/etc/ssl/certs/ca-certificates.crt"

	// registryConfig is the configuration of Docker Hub's image "registry".
	registryConfig = `version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`
)

// hub is Docker Hub as an [Engine] and its containers see it: the environment's registry,
// behind a certificate of its own.
type hub struct {
	certificate tls.Certificate
	// authority is the certificate as PEM, for the images whose programs must trust it.
	authority []byte
}

// newHub makes a certificate that is its own authority.
func newHub() (hub, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return hub{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: hubHost}, DNSNames: []string{hubHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return hub{}, err
	}
	return hub{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		authority:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil
}

// writeHosts writes the machine's /etc/hosts, with an entry for the hub, to file.
func (hub) writeHosts(file string) error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	hosts = fmt.Appendf(hosts, "\n127.0.0.1 %s\n", hubHost)
	return os.WriteFile(file, hosts, 0o644) //nolint:gosec // as in /etc
}

// PushEngineImages pushes what a user of an [Engine] pulls from Docker Hub to try the
// product: the registry, BuildKit for a builder of buildx, and the Go image of the bake
// file. Their programs are real ones, built from Go modules.
func (e *Env) PushEngineImages(t T) {
	t.Helper()
	tools, err := e.Tools.Engine()
	if err != nil {
		t.Fatalf("%v", err)
	}
	for what, push := range map[string]func() error{
		"registry": func() error { return e.pushRegistry(tools) },
		"BuildKit": func() error { return e.pushBuildKit(tools) },
		"Go":       e.pushGoImage,
	} {
		if err := push(); err != nil {
			t.Fatalf("push the image of %s: %v", what, err)
		}
	}
}

// pushRegistry pushes the image "registry:3".
func (e *Env) pushRegistry(tools provision.Engine) error {
	const config = "/etc/distribution/config.yml"
	return e.pushPrograms("library/registry:3", v1.Config{
		// As in the real image: without it, the program looks for a collector of traces.
		Env:        []string{"PATH=/bin", "OTEL_TRACES_EXPORTER=none"},
		Entrypoint: []string{"/bin/registry", "serve"}, Cmd: []string{config},
		ExposedPorts: map[string]struct{}{"5000/tcp": {}},
		Volumes:      map[string]struct{}{"/var/lib/registry": {}},
	}, []registry.File{
		{Path: "/bin/registry", Mode: 0o755, Source: tools.Registry},
		{Path: config, Mode: 0o644, Data: []byte(registryConfig)},
	})
}

// pushBuildKit pushes the image from which buildx makes its builders by default
// (driver/bkimage of buildx). It trusts the hub's certificate.
func (e *Env) pushBuildKit(tools provision.Engine) error {
	return e.pushPrograms("moby/buildkit:buildx-stable-1", v1.Config{
		Env: []string{"PATH=/bin"}, Entrypoint: []string{"buildkitd"},
		Volumes: map[string]struct{}{"/var/lib/buildkit": {}},
	}, []registry.File{
		{Path: "/bin/buildkitd", Mode: 0o755, Source: e.Tools.CurrentBuildkitd().Path},
		{Path: "/bin/buildctl", Mode: 0o755, Source: e.Tools.Buildctl},
		{Path: "/bin/runc", Mode: 0o755, Source: tools.RunC},
		{Path: certificates, Mode: 0o644, Data: e.hub.authority},
	})
}

// pushPrograms pushes an image of busybox and files to repoTag.
func (e *Env) pushPrograms(repoTag string, config v1.Config, files []registry.File) error {
	base, err := registry.BusyboxFiles(e.Tools.Busybox)
	if err != nil {
		return err
	}
	layer, err := registry.PackLayer(append(base, files...))
	if err != nil {
		return err
	}
	image, err := registry.NewImage(registry.HostPlatform(), config, layer)
	if err != nil {
		return err
	}
	return e.Registry.PushImage(e.Registry.Ref(repoTag), image)
}

func (e *Env) pushGoImage() error {
	unlock, err := e.lockImages()
	if err != nil {
		return err
	}
	defer unlock()
	return e.golang()
}
