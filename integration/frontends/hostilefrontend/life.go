package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
)

const exitCode = 42

func crashBefore(o options) error {
	b, err := connect(o)
	if err != nil {
		return err
	}
	if _, err := b.state(context.Background(), proof("before a crash"), evaluated); err != nil {
		return err
	}
	os.Exit(exitCode)
	return nil
}

func crashAfter(o options) error {
	if err := returnOnce(o, "before a crash"); err != nil {
		return err
	}
	os.Exit(exitCode)
	return nil
}

// returnOnce returns proof.
func returnOnce(o options, text string) error {
	b, err := connect(o)
	if err != nil {
		return err
	}
	res, err := b.state(context.Background(), proof(text))
	if err != nil {
		return err
	}
	_, err = b.Return(context.Background(), &gwpb.ReturnRequest{Result: res})
	return err
}

func noReturn(o options) error {
	b, err := connect(o)
	if err != nil {
		return err
	}
	_, err = b.state(context.Background(), proof("never returned"))
	return err
}

// returnTwice returns one result, and then another that should replace it.
func returnTwice(o options) error {
	b, err := connect(o)
	if err != nil {
		return err
	}
	for _, text := range []string{"the first", "the second"} {
		res, err := b.state(context.Background(), proof(text))
		if err != nil {
			return err
		}
		if _, err := b.Return(context.Background(), &gwpb.ReturnRequest{
			Result: res,
		}); err != nil && text == "the first" {
			return err
		}
	}
	return nil
}

// never waits for ever, and ignores all signals that a process can ignore.
func never(o options) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	if o.arg("CHILD") == "" {
		b, err := connect(o)
		if err != nil {
			return err
		}
		if _, err := b.state(context.Background(), proof("never returned"), evaluated); err != nil {
			return err
		}
	}
	for {
		if err := syscall.Pause(); err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// childThatStays returns a result and ends. Its child keeps stdin and stdout open and goes on.
func childThatStays(o options) error {
	child := exec.Command("/proc/self/exe")
	child.Env = []string{
		optionPrefix + "0=" + argPrefix + "ATTACK=never", optionPrefix + "1=" + argPrefix + "CHILD=1",
	}
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start a child: %w", err)
	}
	return returnOnce(o, "with a child that stays")
}
