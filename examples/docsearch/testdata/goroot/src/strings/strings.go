package strings

// Fields splits s around white space.
func Fields(
	s string, // the text
	keep bool,
) (
	parts []string,
) {
	return nil
}
