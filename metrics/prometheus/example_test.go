package prometheus_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dunlin-quic/dunlin/engine"
	"github.com/dunlin-quic/dunlin/metrics/prometheus"
	"github.com/dunlin-quic/dunlin/quic"
)

// A server whose figures Prometheus finds on another port. In http3 it is Server.Endpoint and Transport.Metrics that take them.
func Example() {
	figures := prometheus.New(prometheus.Options{})
	prom.MustRegister(figures)
	go func() { log.Fatal(http.ListenAndServe("localhost:9090", promhttp.Handler())) }()

	listener, err := engine.Listen(&engine.ListenConfig{
		QUIC:           &quic.Config{TLS: &tls.Config{NextProtos: []string{"greeting"}}}, // and a certificate
		NewApplication: func(engine.ConnInfo) (engine.ApplicationOverQUIC, error) { return engine.Base{}, nil },
		Endpoint:       engine.EndpointConfig{Metrics: figures},
	}, ":4433")
	if err != nil {
		log.Fatal(err)
	}
	<-listener.Endpoint().Done()
}

// Figures of two endpoints are told apart by labels.
func ExampleOptions() {
	registry := prom.NewRegistry()
	for _, name := range []string{"public", "internal"} {
		registry.MustRegister(prometheus.New(prometheus.Options{Labels: prom.Labels{"listener": name}}))
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "dunlin_initials_accepted_total" {
			for _, m := range f.GetMetric() {
				fmt.Println(m.GetLabel()[0].GetName(), m.GetLabel()[0].GetValue(), m.GetCounter().GetValue())
			}
		}
	}
	// Output:
	// listener internal 0
	// listener public 0
}
