package http3

import (
	"errors"
	"net/http"
	"testing"

	"github.com/dunlin-quic/dunlin/h3"
)

// TestAnswerAfterFailure: a server that learns of a request's failure may answer before the one who waits for the answer looks.
// That answer is to something else.
func TestAnswerAfterFailure(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), "POST", "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &clientExchange{req: req, notify: make(chan struct{}, 1), bodySent: make(chan struct{})}
	failure := errors.New("the body can't be read")
	x.gotError(failure)
	x.gotHeaders(copyFields([]h3.Field{{Name: ":status", Value: "200"}}), true)
	if res, err := x.await(t.Context()); err != failure {
		t.Errorf("%v, %v", res, err)
	}
}
