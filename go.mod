module chefsync

go 1.26
