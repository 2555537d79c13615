// Command dunlin serves and fetches over HTTP/3.
//
//	dunlin serve [FOLDER]   serve a folder or an upstream over HTTP/3, HTTP/2 and HTTP/1.1
//	dunlin get URL...       fetch over HTTP/3
//	dunlin bench URL        put load on a server and measure it
//	dunlin demo             see both at work, in a terminal and in a browser
//
// dunlin help COMMAND lists each command's flags.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one gets the system's default and kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are a command's standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, std streams) int {
	root := newRootCommand(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var reported *exitError
	if errors.As(err, &reported) {
		return reported.status
	}
	fmt.Fprintln(std.err, "dunlin:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(std.err, "Try: %s --help\n", usage.command)
		return statusUsage
	}
	return 1
}

func newRootCommand(std streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "dunlin",
		Short:         "Serve and fetch over HTTP/3",
		Long:          "dunlin serves and fetches over HTTP/3, with Dunlin's own QUIC.",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{command: cmd.CommandPath(), err: err}
	})
	root.AddCommand(newServeCommand(std), newGetCommand(std), newBenchCommand(std), newDemoCommand(std))
	return root
}

// usageError is a command line that can't be run.
type usageError struct {
	command string // what to ask for help
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitError ends a command whose failure has been reported.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// misuse makes errors of positional arguments and of flags that exclude one another usage errors.
func misuse(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cmp.Or(check(cmd, args), cmd.ValidateFlagGroups()); err != nil {
			return &usageError{command: cmd.CommandPath(), err: err}
		}
		return nil
	}
}

// version is the module's version, or where it was built from a checkout, the revision.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v += " " + s.Value
			}
		}
	}
	return v + " " + info.GoVersion
}
