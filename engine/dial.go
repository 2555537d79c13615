package engine

import "context"

// Dial connects to address, "host:port", on an endpoint of its own that ends with the connection. A name with several
// addresses is tried address by address (RFC 8305).
func Dial(ctx context.Context, address string, cfg *DialConfig) (*Connection, error) {
	panic("skeleton")
}
