module github.com/dunlin-quic/dunlin

go 1.26.0

require golang.org/x/net v0.62.0
