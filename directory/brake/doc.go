// Package brake holds back a provisioning client that takes out many people at once.
//
// It exists because a provider that is set up wrongly, or in the wrong hands, says of
// everybody that they have left, or empties the group that lets them in, and is believed:
// past a share of a tenant's active people within a window the next one stays, and so does
// everybody after them, until an admin has looked. What has left is counted in the tenant's own database, in the
// transaction of each departure, so that all nodes count as one.
//
// It must not deactivate or delete anybody itself (directory does), nor say who has a role
// (authz does, by way of directory), nor know SCIM's wire
// format or HTTP; and nothing of it concerns what admins do by themselves.
package brake
