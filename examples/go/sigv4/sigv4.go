// Package sigv4 posts JSON to AWS, signed with Signature Version 4, with the standard library only.
package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// API Gateway answers within 29 seconds.
var client = &http.Client{Timeout: 35 * time.Second}

// Post sends a body to a URL whose path holds letters, digits, hyphens, underscores and slashes, and no query.
func Post(url, service string, body []byte, headers map[string]string) (*http.Response, error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	at := time.Now().UTC().Format("20060102T150405Z")
	signed := map[string]string{"host": request.URL.Host, "x-amz-date": at}
	if token := os.Getenv("AWS_SESSION_TOKEN"); token != "" {
		signed["x-amz-security-token"] = token
	}
	for name, value := range headers {
		signed[strings.ToLower(name)] = value
	}
	var names []string
	for name, value := range signed {
		names = append(names, name)
		request.Header.Set(name, value)
	}
	slices.Sort(names)
	canonical := []string{http.MethodPost, request.URL.Path, ""}
	for _, name := range names {
		canonical = append(canonical, name+":"+signed[name])
	}
	list := strings.Join(names, ";")
	canonical = append(canonical, "", list, fmt.Sprintf("%x", sha256.Sum256(body)))
	scope := fmt.Sprintf("%s/%s/%s/aws4_request", at[:8], os.Getenv("AWS_REGION"), service)
	hash := sha256.Sum256([]byte(strings.Join(canonical, "\n")))
	key := []byte("AWS4" + os.Getenv("AWS_SECRET_ACCESS_KEY"))
	for _, text := range append(strings.Split(scope, "/"), fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", at, scope, hash)) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		key = mac.Sum(nil)
	}
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		os.Getenv("AWS_ACCESS_KEY_ID"), scope, list, key))
	return client.Do(request)
}
