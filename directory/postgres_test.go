package directory_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestGroupLifeCycle, TestTeams, TestUserFilters, TestFiltersThatAreRefused, TestPaging, TestSignInMakesAPersonOnce,
		TestSignInGoesByConnectionAndSubjectNeverByEmail, TestSignInLinksOnlyWhatTheRuleAllows, TestSignInRefusals,
		TestSignInUpdatesWhatItMay, TestSignInWithoutAnAddress, TestAnUnverifiedAddressNamesNobody,
		TestSignInGroupsBelongToTheirConnection, TestSignInSyncsItsOwnGroupsAlone, TestSignInGoesByRules, TestSignInLinksByExternalID, TestLink, TestSubjectsByEmail, TestUserRoundTrip,
		TestUserNamesAreUniqueWhateverTheirCase, TestHostileNamesAreRefused, TestUpdateSaysWhatChangedButNotTheValues,
		TestUpdateHonoursTheVersion, TestDeletionsAtAnOldVersionChangeNothing, TestP1_NothingChangesWithoutTheJournal, TestP1_WhatIsRecordedComesTrueWithoutTheCaller, TestP9_DeactivationEndsSessionsAfterItIsStored,
		TestP9_DeletionEndsSessionsEvenOnRetry, TestP9_AFailureToEndSessionsIsNotAnsweredWithSuccess,
		TestP3_IdsOfAnotherTenantAreUnknown, TestVersionMovesWithEveryChangeAndPersonFollows, TestP9_ADeactivationThatTheOthersDoNotHearOfEndsSessions,
		TestP8_WhoIsKnownIsServedWithoutSQL,
	})
}
