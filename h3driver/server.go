package h3driver

import (
	"github.com/dunlin-quic/dunlin/quic"
)

// ServerDriver is the server's side of HTTP/3 as an engine.ApplicationOverQUIC: give it to the engine.
type ServerDriver struct{ driver }

// ServerController is the user's handle of a [ServerDriver].
type ServerController struct{ controller }

// NewServer makes the driver and the controller of one connection. cfg may be nil.
func NewServer(cfg *Config) (*ServerDriver, *ServerController) {
	d := new(ServerDriver)
	d.init(quic.Server, cfg)
	return d, &ServerController{controller{&d.driver}}
}
