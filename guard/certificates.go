package guard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// maxCertificates is how many bytes a file with certificates or a key can have.
const maxCertificates = 4 << 20

// CertificateFiles are the names of files in PEM.
type CertificateFiles struct {
	// Server has the server's certificate, and those that lead to its authority. Key has its key.
	Server, Key string
	// Clients has the authorities that issue clients' certificates.
	Clients string
}

// Certificates are the server's certificate, and the authorities of its clients. They are read from
// files, which may change.
type Certificates struct{ last *lastGood[*tls.Config] }

// OpenCertificates reads the files, which have to be valid: each at most 4 MiB, with a key that
// belongs to the certificate. A change counts for connections that begin later. While the files
// aren't valid, the last good ones stay in force. log receives a line for each change.
func OpenCertificates(files CertificateFiles, log *slog.Logger) (*Certificates, error) {
	last, err := openLastGood(func() (*tls.Config, snapshot, error) {
		texts := files.read()
		config, err := texts.config()
		return config, texts, err
	}, func(n news[*tls.Config]) {
		switch {
		case n.again:
			log.Info("the certificates can be read again", "file", files.Server)
		case n.problem != nil:
			log.Error("the certificates aren't valid, so the last good ones stay in force", "file",
				files.Server, "why", logText(n.problem.Error()))
		default:
			log.Info("new certificates are in force", "file", files.Server)
		}
	})
	if err != nil {
		return nil, err
	}
	return &Certificates{last}, nil
}

// config returns how to serve a connection that begins now.
func (c *Certificates) config() *tls.Config { return c.last.current() }

// certificateTexts are what the files had.
type certificateTexts struct {
	files                CertificateFiles
	server, key, clients fileText
}

// fileText is the text of a file, or why it couldn't be read.
type fileText struct{ text, problem string }

func (f CertificateFiles) read() certificateTexts {
	return certificateTexts{f, readText(f.Server), readText(f.Key), readText(f.Clients)}
}

// unchanged implements snapshot.
func (c certificateTexts) unchanged() bool { return c == c.files.read() }

func (c certificateTexts) config() (*tls.Config, error) {
	for _, file := range []fileText{c.server, c.key, c.clients} {
		if file.problem != "" {
			return nil, errors.New(file.problem)
		}
	}
	pair, err := tls.X509KeyPair([]byte(c.server.text), []byte(c.key.text))
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", c.files.Server, c.files.Key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.clients.text)) {
		return nil, fmt.Errorf("%s has no certificate", c.files.Clients)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
		// A resumed connection would be that of a client whose authority counts no more.
		SessionTicketsDisabled: true,
	}, nil
}

func readText(name string) fileText {
	info, data, err := readRegular(os.OpenFile, name, maxCertificates)
	switch {
	case len(data) > maxCertificates:
		return fileText{problem: fmt.Sprintf("%s has more than %d bytes", name, maxCertificates)}
	case err != nil:
		return fileText{problem: err.Error()}
	case !info.Mode().IsRegular():
		return fileText{problem: name + " isn't a regular file"}
	}
	return fileText{text: string(data)}
}
