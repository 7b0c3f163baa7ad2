package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/lint"
)

const (
	projectURL = "https://github.com/policy-frontend/policy-frontend"
	lintURL    = projectURL + "/blob/main/docs/lint.md"
)

// github writes the findings as GitHub Actions workflow commands.
func github(findings []finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(githubLine(f) + "\n")
	}
	return b.String()
}

// githubLine writes a finding as a GitHub Actions workflow command
// (docs.github.com, "Workflow commands for GitHub Actions").
func githubLine(f finding) string {
	level := string(f.Level)
	if f.Level == lint.Note {
		level = "notice"
	}
	message := f.Message
	if f.Rule != "" {
		message = fmt.Sprintf("rule %q: %s", f.Rule, f.Message)
	}
	return githubCommand(level, f.File, f.Line, f.Column, string(f.Code), message)
}

// githubCommand writes a workflow command. The line is 0 for a whole file.
func githubCommand(level, name string, line, column int, title, message string) string {
	var at string
	if line > 0 {
		at = fmt.Sprintf(",line=%d,col=%d", line, max(column, 1))
	}
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	file := property.Replace(filepath.ToSlash(name))
	return fmt.Sprintf("::%s file=%s%s,title=%s::%s", level, file, at, property.Replace(title),
		value.Replace(message))
}

// The parts of SARIF 2.1.0 that findings need (OASIS sarif-v2.1.0).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string      `json:"id"`
		HelpURI string      `json:"helpUri"`
		Default sarifConfig `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level lint.Level `json:"level"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     lint.Level      `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// sarif writes findings as a SARIF log.
func sarif(findings []finding) sarifLog {
	driver := sarifDriver{
		Name: "policy-frontend", Version: programVersion(),
		InformationURI: projectURL,
	}
	for _, c := range lint.Codes() {
		driver.Rules = append(driver.Rules, sarifRule{
			string(c), lintURL + "#" + string(c),
			sarifConfig{c.Level()},
		})
	}
	results := []sarifResult{}
	for _, f := range findings {
		at := sarifPhysical{Artifact: sarifArtifact{fileURI(f.File)}}
		if f.Line > 0 {
			at.Region = &sarifRegion{f.Line, f.Column}
		}
		message := f.Message
		if f.Rule != "" {
			message = fmt.Sprintf("rule %q: %s", f.Rule, f.Message)
		}
		results = append(results, sarifResult{
			string(f.Code), f.Level,
			sarifMessage{message},
			[]sarifLocation{{at}},
		})
	}
	return sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{{sarifTool{driver}, results}},
	}
}

// fileURI returns a file name as a URI, which is relative if the name is.
func fileURI(file string) string {
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return u.String()
}
