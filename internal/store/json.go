package store

import (
	"fmt"
	"strings"
)

// JSON writes the SQL that looks into documents, which the two databases say in
// words of their own. It is given expressions and parameters ("$3"), and never
// what somebody asks for: that is bound, paths too.
type JSON interface {
	// Document is a column of texts that hold documents, as a document.
	Document(column string) string
	// Path is what is bound where a path is a parameter: the names from the outside
	// in, none for the document itself. None may hold a quote or a backslash, or be a number, which PostgreSQL takes
	// for a place in a list.
	Path(names ...string) string
	// Text, Bool and Number are the value at a path; NULL if it is something else
	// or not there. A boolean is 'true' or 'false'.
	Text(document, path string) string
	Bool(document, path string) string
	Number(document, path string) string
	// Elements stands in FROM: the elements of the list at a path, none if it is
	// no list.
	Elements(document, path, alias string) string
	// Element is what Elements has come to, as a document. Twin is what stands in its
	// place in another document.
	Element(alias string) string
	Twin(document, path, alias string) string
	// Place sorts elements as they stand in the list.
	Place(alias string) string
	// Mentions is a condition that documents meet in whose text another one is, where
	// looking for that is less work than reading the document; "" where it is not.
	Mentions(document, text string) string
	// Bytes has a text compared by its bytes (of UTF-8: by code points).
	Bytes(text string) string
}

// JSON gives what documents are looked into with.
func (t *Tx) JSON() JSON { return t.dialect.json }

type sqliteJSON struct{}

func (sqliteJSON) Document(column string) string { return column }

func (sqliteJSON) Path(names ...string) string {
	if len(names) == 0 {
		return "$"
	}
	return `$."` + strings.Join(names, `"."`) + `"`
}

func (sqliteJSON) Text(document, path string) string {
	return fmt.Sprintf("CASE WHEN json_type(%[1]s, %[2]s) = 'text' THEN json_extract(%[1]s, %[2]s) END", document, path)
}

func (sqliteJSON) Bool(document, path string) string {
	return fmt.Sprintf("CASE json_type(%s, %s) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' END", document, path)
}

func (sqliteJSON) Number(document, path string) string {
	return fmt.Sprintf("CASE WHEN json_type(%[1]s, %[2]s) IN ('integer', 'real') THEN CAST(json_extract(%[1]s, %[2]s) AS REAL) END", document, path)
}

// Elements keeps to lists: json_each goes through objects as well.
func (sqliteJSON) Elements(document, path, alias string) string {
	return fmt.Sprintf("json_each(CASE WHEN json_type(%[1]s, %[2]s) = 'array' THEN %[1]s ELSE '{}' END, %[2]s) %[3]s", document, path, alias)
}

func (sqliteJSON) Element(alias string) string {
	return fmt.Sprintf("CASE %[1]s.type WHEN 'object' THEN %[1]s.value WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE json_quote(%[1]s.value) END", alias)
}

func (sqliteJSON) Twin(document, path, alias string) string {
	return fmt.Sprintf("(%s -> (%s || '[' || %s.key || ']'))", document, path, alias)
}

func (sqliteJSON) Place(alias string) string { return alias + ".key" }

func (sqliteJSON) Mentions(document, text string) string {
	return fmt.Sprintf("instr(%s, %s) > 0", document, text)
}

func (sqliteJSON) Bytes(text string) string { return text }

type postgresJSON struct{}

func (postgresJSON) Document(column string) string { return column + "::jsonb" }

func (postgresJSON) Path(names ...string) string {
	if len(names) == 0 {
		return "{}"
	}
	return `{"` + strings.Join(names, `","`) + `"}`
}

// A condition is in CASE where a cast depends on it: the server may look at the
// parts of an AND in any order.
func (postgresJSON) Text(document, path string) string {
	return fmt.Sprintf("CASE WHEN jsonb_typeof(%[1]s #> %[2]s::text[]) = 'string' THEN %[1]s #>> %[2]s::text[] END", document, path)
}

func (postgresJSON) Bool(document, path string) string {
	return fmt.Sprintf("CASE WHEN jsonb_typeof(%[1]s #> %[2]s::text[]) = 'boolean' THEN %[1]s #>> %[2]s::text[] END", document, path)
}

// Number leaves out what a double cannot hold, which the cast would refuse.
func (postgresJSON) Number(document, path string) string {
	number := fmt.Sprintf("(%s #>> %s::text[])::numeric", document, path)
	return fmt.Sprintf("CASE WHEN jsonb_typeof(%[1]s #> %[2]s::text[]) = 'number' THEN CASE WHEN abs(%[3]s) < 1e308 THEN %[3]s::float8 END END",
		document, path, number)
}

func (postgresJSON) Elements(document, path, alias string) string {
	return fmt.Sprintf("jsonb_array_elements(CASE WHEN jsonb_typeof(%[1]s #> %[2]s::text[]) = 'array' THEN %[1]s #> %[2]s::text[] ELSE '[]' END) WITH ORDINALITY %[3]s (value, place)",
		document, path, alias)
}

func (postgresJSON) Element(alias string) string { return alias + ".value" }

func (postgresJSON) Twin(document, path, alias string) string {
	return fmt.Sprintf("(%s #> %s::text[] -> (%s.place::int - 1))", document, path, alias)
}

func (postgresJSON) Place(alias string) string { return alias + ".place" }

// Mentions is nothing here: a column of documents holds them read already.
func (postgresJSON) Mentions(string, string) string { return "" }

func (postgresJSON) Bytes(text string) string { return "(" + text + `) COLLATE "C"` }
