package store_test

import (
	"testing"

	"gatehouse/internal/store"
)

// Both databases see the same in a document, and neither fails for what is of another
// sort than was asked for.
func TestDocuments(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		lookInto(t, open(t, t.TempDir(), store.Options{Keys: fixedKeys("k"), Environment: "test"}))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		lookInto(t, openPostgres(t, sharedServer(t).Database(t).Application, store.Options{}))
	})
}

func lookInto(t *testing.T, db *store.DB) {
	t.Helper()
	create(t, db, acme)
	const document = `{"text":"Ä","number":-1.5e2,"yes":true,"no":false,"null":null,"urn:x:2.0:Y":{"a b":"deep"},"object":{"a":1},"huge":1e400,
		"list":[{"v":"one","n":1},"two",null,["three"],{"v":2},{"v":"four"}],"twins":[{"v":"One"},"Two",null,[],{},{"v":"Four"}]}`
	must(t, db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO teams (id, name, display_name, version, created_at, updated_at) VALUES ('t', 't', $1, 1, 0, 0)`, document)
		return err
	}))
	must(t, db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		j := tx.JSON()
		doc := j.Document("t.display_name")
		one := func(expression string, args ...any) string {
			t.Helper()
			got, err := store.One(t.Context(), tx, store.Scalar[string], `SELECT coalesce(CAST(`+expression+` AS TEXT), '-') FROM teams t`, args...)
			must(t, err)
			return got
		}
		for _, c := range []struct {
			path               []string
			text, yes, numeric string
		}{
			{[]string{"text"}, "Ä", "-", "-"}, {[]string{"number"}, "-", "-", "n"}, {[]string{"yes"}, "-", "true", "-"}, {[]string{"no"}, "-", "false", "-"},
			{[]string{"null"}, "-", "-", "-"}, {[]string{"urn:x:2.0:Y", "a b"}, "deep", "-", "-"}, {[]string{"urn:x:2.0:Y"}, "-", "-", "-"}, {[]string{"list"}, "-", "-", "-"},
			{[]string{"nothing"}, "-", "-", "-"}, {[]string{"text", "deeper"}, "-", "-", "-"}, {[]string{"text]", "$", "'"}, "-", "-", "-"}, {[]string{"list", "v"}, "-", "-", "-"},
		} {
			path := j.Path(c.path...)
			number := one(`CASE WHEN `+j.Number(doc, "$1")+` = -150 THEN 'n' END`, path)
			if text, yes := one(j.Text(doc, "$1"), path), one(j.Bool(doc, "$1"), path); text != c.text || yes != c.yes || number != c.numeric {
				t.Errorf("%q is %q, %q, %q", c.path, text, yes, number)
			}
		}
		for _, path := range []string{"list", "object", "text", "nothing", "huge"} {
			got, err := store.All(t.Context(), tx, store.Scalar[string], `SELECT coalesce(`+j.Text(j.Element("e"), "$1")+`, '-') || coalesce(`+j.Text(j.Twin(doc, "$2", "e"), "$1")+`, '-')
				FROM teams t, `+j.Elements(doc, "$3", "e")+` ORDER BY `+j.Place("e"), j.Path("v"), j.Path("twins"), j.Path(path))
			must(t, err)
			want := map[bool]int{true: 6}[path == "list"]
			if len(got) != want || want > 0 && (got[0] != "oneOne" || got[1] != "--" || got[4] != "--" || got[5] != "fourFour") {
				t.Errorf("the elements of %s are %q", path, got)
			}
		}
		if got := one(`CASE WHEN `+j.Bytes("$1 || ''")+` < 'a' AND `+j.Bytes("t.id")+` > 'Z' THEN 'bytes' END`, "Z"); got != "bytes" {
			t.Error("texts are not in the order of their bytes")
		}
		return nil
	}))
}
