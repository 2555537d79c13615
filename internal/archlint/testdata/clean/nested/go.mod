module example.com/flock/nested

go 1.26
