package engine

// TestTLS lends the tests' certificates to the examples.
var TestTLS = testTLS
