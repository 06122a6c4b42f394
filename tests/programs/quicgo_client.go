// SPDX-License-Identifier: MIT

// An HTTP/3 client of quic-go's for tests/integration/test_h3_quicgo.py: every request that a line of its input says,
// "METHOD PATH BYTES", all of them at once on one connection; and a line for each, in their order, of what came of it:
// protocol, status, bytes, their SHA-256.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/lucas-clemente/quic-go/http3"
)

// A body that the test can make as well, without a length that is known before it ends.
type body struct{ at, n int }

func (b *body) Read(p []byte) (int, error) {
	if b.at == b.n {
		return 0, io.EOF
	}
	i := 0
	for ; i < len(p) && b.at < b.n; i++ {
		p[i] = byte(b.at * 7)
		b.at++
	}
	return i, nil
}

func ask(client *http.Client, base, line string) string {
	var method, path string
	var n int
	if _, err := fmt.Sscan(line, &method, &path, &n); err != nil {
		return err.Error()
	}
	var content io.Reader
	if n > 0 {
		content = &body{0, n}
	}
	request, err := http.NewRequest(method, base+path, content)
	if err != nil {
		return err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	sum := sha256.New()
	got, err := io.Copy(sum, response.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %d %d %x", response.Proto, response.StatusCode, got, sum.Sum(nil))
}

func main() {
	transport := &http3.RoundTripper{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: transport}
	text, err := io.ReadAll(bufio.NewReader(os.Stdin))
	if err != nil {
		panic(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	answers := make([]string, len(lines))
	var all sync.WaitGroup
	for i := range lines {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			answers[i] = ask(client, os.Args[1], lines[i])
		}(i)
	}
	all.Wait()
	fmt.Println(strings.Join(answers, "\n"))
	transport.Close()
}
