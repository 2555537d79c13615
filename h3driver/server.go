package h3driver

import (
	"github.com/dunlin-quic/dunlin/quic"
)

// ServerDriver is the server's side of HTTP/3 as an engine.ApplicationOverQUIC: give it to the engine.
type ServerDriver struct{ driver }

// ServerController is the user's handle of a [ServerDriver].
type ServerController struct{ controller }

// NewServer makes the driver of one connection. cfg may be nil.
func NewServer(cfg *Config) *ServerDriver {
	d := new(ServerDriver)
	d.init(quic.Server, cfg)
	return d
}

// Controller returns the user's handle of d.
func (d *ServerDriver) Controller() *ServerController {
	return &ServerController{controller{&d.driver}}
}
