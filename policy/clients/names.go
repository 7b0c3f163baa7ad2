package clients

// Names returns the names of the client, each as a pattern that stands for it alone.
func (c Client) Names() []string {
	texts := make([]string, len(c.names))
	for i, n := range c.names {
		texts[i] = n.text
	}
	return texts
}
