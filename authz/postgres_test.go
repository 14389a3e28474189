package authz_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestBuiltInRoles, TestWhoDecisionsAreAbout, TestRolesComeByGroups, TestHeldRoles, TestDecisionsNameThePerson, TestTeamsNameComesBack,
		TestUnknownTeams, TestPolicyChangesAreVersionedAndJournalled, TestWhoGoesTakesTheirRolesAlong, TestARoleIsChangedAndDeletedAtItsVersionAlone, TestP1_NoPolicyChangeWithoutRecord, TestWhatIsRefused,
		TestLastOwnerStays, TestRolesComeByGroupsInGroups, TestAnOwnerByAGroupInAGroupIsOne, TestNobodyGivesWhatTheyLack, TestDefaultRoleIsGivenOnce, TestTenantsInMemoryAreBounded,
		TestP7_NoPolicyNoPermit, TestP7_AChangeThatHangsHoldsNobodyUp, TestTheJournalTellsWhatAChangeOfThePolicyDid, TestP7_TellingTheOthersHoldsNobodyUp,
	})
}
