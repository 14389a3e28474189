// Package google fetches the people and groups of a Google Workspace account, which
// pushes none, and has them written by the SCIM service as if they had been pushed.
//
// It exists so that there is one way of bringing people: whatever is read from the
// Directory API of Google's Admin SDK becomes a SCIM request, which is authorised,
// journalled, cleaned and counted by the brake as that of any provider. Nobody has left
// because an answer is missing: only a list that was read to its end says who is not in
// it, and Google is asked about each of those once more.
//
// It must not write the directory itself (scim does), end sessions, or reach any other
// host than Google's; and the service account's key leaves it for nowhere.
package google
