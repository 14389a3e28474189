package local_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestAnInvitedPersonSignsInByPasswordAndApp, TestAnInvitedPersonSignsInByPasskey, TestASecondFactorIsNoLocalAccount, TestAnInvitationIsGoodOnce,
		TestOneOfTwoPagesOfALinkCounts, TestHalfACredentialIsNone, TestP2_NewCredentialsEndWhatTheOldOnesMade, TestP2_ASignInDoesNotOutliveItsAccount,
		TestP9_WhoIsDeactivatedHasNoWayIn, TestP3_LocalAccountsAreTheirTenants, TestALocalSignInIsForOneBrowserAndUse, TestNobodyLearnsWhoHasALocalAccount,
		TestWhenLocalAccountsLetPeopleIn, TestP1_NothingOfALocalAccountWithoutItsRecord, TestP6_LocalSecretsAreNotToBeRead, TestAPasswordIsHashedAnewWhenItsCostChanges,
		TestALinkIsWorthWhatItsMakerMayGive, TestWhoIsNoOwnerAnyMoreHasNoLocalAccount, TestALinkIsForWhereItsPersonMaySignIn, TestALinkIsTriedSoOften, TestAPersonChangesTheirPassword,
		TestASessionAloneChangesNoPassword, TestWhoHasNoPasswordChangesNone, TestP1_NoPasswordIsChangedWithoutItsRecord,
		TestTheLastPasskeyStaysWhicheverGoesFirst, TestP9_ComingBackRevivesNoLink,
	}, "TestNoStrangerKeepsAPersonOut", "TestPasskeysAreCounted", "TestManyAddressesAreNotManyGuesses", "TestWrongCodesOfOthersSlowNobodyDown", "TestWrongCodesWithARightPassword", "TestAPasswordAloneIsNoWayIn", "TestHashes", "TestPasswords", "TestHashingIsBounded", "TestP3_ATenantsFloodHoldsUpNoOther")
}
