// Command openapi prints the admin API's OpenAPI document, from which the
// console's typed client is generated. It exists so that this needs no running
// gateway; it must not do anything else.
package main

import (
	"fmt"
	"os"

	"gatehouse/api"
)

func main() {
	a, err := api.New(api.Config{})
	if err == nil {
		_, err = os.Stdout.Write(append(a.OpenAPI(), '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}
