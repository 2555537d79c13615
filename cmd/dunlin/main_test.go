package main

import (
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help", "serve"}, {"serve", "--help"}, {"get", "-h"}, {"demo", "-h"}, {"bench", "-h"}} {
		r := dunlin(t, "", args...)
		if r.status != 0 || !strings.Contains(r.out, "Usage:") || r.err != "" {
			t.Errorf("%v: status %d, %q, %q", args, r.status, r.out, r.err)
		}
	}
}

func TestVersion(t *testing.T) {
	r := dunlin(t, "", "--version")
	if r.status != 0 || !strings.HasPrefix(r.out, "dunlin version ") {
		t.Errorf("status %d, %q", r.status, r.out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := dunlin(t, "", "completion", shell); r.status != 0 || !strings.Contains(r.out, "dunlin") {
			t.Errorf("%s: status %d, %q", shell, r.status, r.err)
		}
	}
	if r := dunlin(t, "", "__complete", "get", "--resol"); !strings.Contains(r.out, "--resolve") {
		t.Errorf("completion of a flag: %q", r.out)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"}, {"--nonsense"}, {"get"}, {"get", "-o"}, {"get", "-k", "--cacert", "f", "https://localhost"},
		{"get", "-O", "-o", "f", "https://localhost/f"}, {"get", "-d", "a", "-T", "f", "https://localhost/f"},
		{"get", "-H", "nonsense", "https://localhost/f"}, {"get", "--resolve", "nonsense", "https://localhost/f"}, {"demo", "nonsense"},
	} {
		r := dunlin(t, "", args...)
		if r.status != statusUsage || !strings.HasPrefix(r.err, "dunlin: ") || !strings.Contains(r.err, "--help") {
			t.Errorf("%v: status %d, %q", args, r.status, r.err)
		}
	}
}
