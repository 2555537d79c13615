//go:build linux

package steering

import (
	"testing"

	"github.com/dunlin-quic/dunlin/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }
