module github.com/dunlin-quic/dunlin

go 1.26
