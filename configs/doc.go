// Package configs reads the file that `gatehouse serve` starts from: its types,
// its defaults, and a check that names every problem at once with line, column
// and remedy.
//
// It exists so that a wrong file is refused before anything listens, and is
// refused completely: an unknown key, a key given twice or a missing secret is
// a problem, never a guess. The types carry their defaults, their allowed
// values and their description as struct tags; the decoder, the checks and the
// published JSON Schema (schema.json) all read those, so they cannot disagree.
//
// It must not open the network, start anything, or import another room. No
// room imports it either, save the wiring in gateway, which maps its sections
// to the rooms' own types.
package configs
