//go:build !unix

package interop

import "os/exec"

func killGroup(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Kill() }
}

// setRoot does nothing: where there is no chroot, nobody is root either, and the tests that want it are skipped.
func setRoot(*exec.Cmd, string) {}
