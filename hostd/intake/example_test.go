package intake_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sparkrsi/spark/hostd/intake"
	"github.com/sparkrsi/spark/plugins/backends/memory"
)

// A log record of any program, sent as JSON, ends in a backend.
func ExampleNew() {
	store, err := memory.New(memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(intake.New(store.Write, intake.Options{}))
	defer server.Close()
	resp, err := http.Post(server.URL+"/v1/logs", "application/json", strings.NewReader(
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1772366400000000000","body":{"stringValue":"hello"}}]}]}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	count, err := store.Count(resp.Request.Context())
	fmt.Println(resp.StatusCode, count.Events, count.Unattributed, err)
	// Output: 200 1 1 <nil>
}
