module local/api-key-go

go 1.24

require windlass v0.1.0

replace windlass => ../../../../kits/sdk/go
