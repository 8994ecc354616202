// Command api sends a message through the REST API, and waits for its outcome.
//
// Usage: API_URL=… AWS_REGION=… go run ./api REQUEST_ID DEVICE_ID TEXT
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"example.org/cube-sms/sigv4"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: api REQUEST_ID DEVICE_ID TEXT")
	}
	requestID := os.Args[1]
	body, _ := json.Marshal(map[string]string{"requestId": requestID, "deviceId": os.Args[2], "content": os.Args[3]})
	answer, err := sigv4.Post(os.Getenv("API_URL")+"/messages", "execute-api", body,
		map[string]string{"Content-Type": "application/json"})
	if err != nil {
		log.Fatalf("%s: repeat the call with the same requestId, %v", requestID, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", requestID, reason(answer, said))
	}
	var message struct{ State string }
	if err := json.Unmarshal(said, &message); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is %s\n", requestID, message.State)
}

func reason(answer *http.Response, said []byte) string {
	var problem struct{ Title, Detail string }
	// API Gateway refuses a call in its own form, for example one that is not signed well.
	if !strings.Contains(answer.Header.Get("Content-Type"), "problem+json") || json.Unmarshal(said, &problem) != nil {
		return fmt.Sprintf("%d %s", answer.StatusCode, said)
	}
	text := fmt.Sprintf("%d %s: %s", answer.StatusCode, problem.Title, problem.Detail)
	// After this time the call can be repeated, with the same requestId.
	if wait := answer.Header.Get("Retry-After"); wait != "" {
		text += fmt.Sprintf(" (repeat it after %s s)", wait)
	}
	return text
}
