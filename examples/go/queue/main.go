// Command queue puts a send request onto the queue.
//
// Usage: QUEUE_URL=… AWS_REGION=… go run ./queue REQUEST_ID DEVICE_ID TEXT
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"

	"example.org/cube-sms/sigv4"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: queue REQUEST_ID DEVICE_ID TEXT")
	}
	requestID, deviceID, text := os.Args[1], os.Args[2], os.Args[3]
	// The gateway sends one message for a requestId, however often the request is put onto the queue.
	request, _ := json.Marshal(map[string]string{"requestId": requestID, "deviceId": deviceID, "content": text})
	// A FIFO queue keeps the messages of a group in order. A standard queue accepts a group too.
	body, _ := json.Marshal(map[string]string{
		"QueueUrl": os.Getenv("QUEUE_URL"), "MessageBody": string(request), "MessageGroupId": deviceID,
	})
	queue, err := url.Parse(os.Getenv("QUEUE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	answer, err := sigv4.Post(queue.Scheme+"://"+queue.Host+"/", "sqs", body, map[string]string{
		"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage",
	})
	if err != nil {
		log.Fatalf("%s: repeat it, %v", requestID, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s %s", requestID, answer.Status, said)
	}
	var sent struct{ MessageId string }
	if err := json.Unmarshal(said, &sent); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is on the queue as %s\n", requestID, sent.MessageId)
}
