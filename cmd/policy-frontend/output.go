package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// The values of --format.
const (
	formatText   = "text"
	formatJSON   = "json"
	formatJUnit  = "junit"
	formatSARIF  = "sarif"
	formatGitHub = "github"
)

// format is one way to print a T.
type format[T any] struct {
	name  string
	print func(w io.Writer, result T) error
}

// output prints a command's result in the format that --format names.
type output[T any] struct {
	result  string // what the result is, for messages
	chosen  string
	formats []format[T]
}

// newOutput returns an output whose default is the first of the formats.
func newOutput[T any](result string, formats ...format[T]) *output[T] {
	return &output[T]{result: result, chosen: formats[0].name, formats: formats}
}

func (o *output[T]) names() []string {
	names := make([]string, len(o.formats))
	for i, f := range o.formats {
		names[i] = f.name
	}
	return names
}

// add adds the flag --format to the command.
func (o *output[T]) add(cmd *cobra.Command) {
	addFormatFlag(cmd, &o.chosen, "how to print "+o.result, o.names())
}

// check returns an error of usage if there is no such format.
func (o *output[T]) check() error { return checkFormat(o.chosen, o.names()) }

// print prints the result. The error is an *exitError.
func (o *output[T]) print(w io.Writer, result T) error {
	i := slices.Index(o.names(), o.chosen)
	if err := o.formats[i].print(w, result); err != nil {
		return &exitError{exitUsage, fmt.Errorf("printing %s: %w", o.result, err)}
	}
	return nil
}

// asText is the format for people.
func asText[T any](text func(T) string) format[T] {
	return format[T]{formatText, func(w io.Writer, result T) error {
		_, err := io.WriteString(w, text(result))
		return err
	}}
}

// asJSON is the format for programs: one line of JSON.
func asJSON[T any](value func(T) any) format[T] {
	return format[T]{formatJSON, func(w io.Writer, result T) error {
		return printJSON(w, value(result))
	}}
}

// printJSON writes v on one line, without HTML escapes.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// checkFormat checks the value of a --format flag.
func checkFormat(name string, known []string) error {
	if !slices.Contains(known, name) {
		return fmt.Errorf("--format must be %s, not %q", safetext.Or(known), name)
	}
	return nil
}

// addFormatFlag adds a --format flag with these values.
func addFormatFlag(cmd *cobra.Command, name *string, usage string, known []string) {
	cmd.Flags().StringVar(name, "format", *name, usage+": "+safetext.Or(known))
	complete(cmd, "format", known)
}
