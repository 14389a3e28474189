// Package console serves the web console for tenant admins and operators: a
// React app (app/) over the admin API, embedded into the binary.
//
// It exists so that one file to install brings its own console, under a policy
// that lets nothing run but its own scripts. It must hold no power and no data
// of its own: whatever the console shows or does goes through the admin API,
// and who may open it is for the gate to say.
package console
