package h3driver

import (
	"crypto/tls"
	"crypto/x509"
)

// CertificateForTests lends the tests' certificate to the example.
func CertificateForTests() (tls.Certificate, *x509.CertPool) { return testCertificate, testRoots }
