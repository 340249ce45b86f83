package config

import _ "embed"

//go:embed default.yaml
var example string

// Example returns a commented YAML file of every setting with its default.
func Example() string { return example }
