package qpack

// commonNames are field names outside the static table that are worth sharing: browsers and servers send them as
// literals in nearly every message.
var commonNames = [...]string{
	":protocol", "access-control-allow-private-network", "access-control-max-age",
	"access-control-request-private-network", "allow", "alt-used",
	"capsule-protocol", "connection", "content-disposition", "content-language", "content-location", "content-md5",
	"content-range", "cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy",
	"dnt", "expect", "expires", "from", "grpc-encoding", "grpc-message", "grpc-status", "grpc-timeout", "host",
	"if-match", "if-unmodified-since", "keep-alive", "last-event-id", "max-forwards", "nel", "permissions-policy",
	"pragma", "priority", "proxy-authenticate", "proxy-authorization", "proxy-status", "referrer-policy", "refresh",
	"report-to", "reporting-endpoints", "retry-after", "save-data", "sec-ch-ua", "sec-ch-ua-mobile",
	"sec-ch-ua-platform", "sec-fetch-dest",
	"sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "sec-gpc", "sec-websocket-extensions",
	"sec-websocket-protocol",
	"sec-websocket-version", "server-timing", "te", "trailer", "transfer-encoding", "upgrade", "via", "warning",
	"www-authenticate", "x-cache", "x-correlation-id", "x-forwarded-host", "x-forwarded-proto", "x-powered-by",
	"x-real-ip", "x-request-id", "x-requested-with",
}

// knownNames maps each name of the static table and of commonNames to itself, so that decoding one allocates nothing.
var knownNames = func() map[string]string {
	m := make(map[string]string, len(staticTable)+len(commonNames))
	for _, f := range staticTable {
		m[f.Name] = f.Name
	}
	for _, name := range commonNames {
		m[name] = name
	}
	return m
}()
