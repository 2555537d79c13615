//go:build unix

package interop

import (
	"os/exec"
	"syscall"
)

// killGroup makes the end of a command's context, and its Cancel, end all its processes: a browser has many.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// setRoot makes a folder the root of what the command sees, which needs a privilege.
func setRoot(cmd *exec.Cmd, folder string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: folder}
	cmd.Dir = "/"
}
