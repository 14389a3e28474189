package sessions_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

// TestOnPostgres leaves out what is about the registry, a thousand commits of it.
func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestCreateAndFind, TestAProgramsSession, TestP2_ASessionThatIsOverAllowsNoProgram, TestASessionInUseAllowsPrograms, TestAProgramFollowsTheSessionThatAllowedIt, TestAProgramDoesNotEndTheSessionThatAllowsIt, TestP1_NoSessionWithoutRecord, TestTokensThatAreNotOurs, TestP6_TokensAreHashesAtRest,
		TestDeviceIsRecognised, TestBlockedDevice, TestP2_NamingADeviceDoesNotUnblockIt, TestReplacedSessionEnds, TestInactivePeopleDoNotSignIn, TestP2_CrashBetweenNewCredentialsAndEnd, TestP2_CrashBetweenUnlinkingAndEnd, TestABrowserKnowsItsPeople,
		TestP2_ClosedConnectionsMakeNoSession, TestP9_DeactivationWinsEveryRace, TestListPagesAndFilters, TestDevicesPages, TestLimits,
		TestLastSeenIsWrittenBehind, TestSweepClosesStreams, TestPurgeDeletesOnlyWhatIsLongOver, TestP2_ExactlyTheirsClose,
		TestP8_RevokedStaysRevoked, TestP8_CrashBetweenDeactivationAndEnd,
		TestP2_CrashBetweenDisablingAndEnd, TestP2_CrashBetweenDeletionAndEnd, TestP2_CallerGoesAway, TestP2_StreamThatStaysIsNotConfirmed, TestSelectorsAreChecked,
		TestRecordsNameWhatWasRevoked, TestP2_EverySelector, TestSessionsPerPerson, TestASessionKnowsItsDevice, TestSelectorsOfAnIdentityProvider,
		TestP3_RevocationStaysInItsTenant, TestSignOutHasItsOwnEvent, TestRecord, TestUntilSparesLaterSessions,
		TestP8_WhoMayVouchForTheCopies, TestP2_WhoLeavesAGroupThatIsBeingEnded,
		TestARefreshIsOneHoldersAtATime, TestARefreshGoesAlongWithARenewedSession, TestP6_ARefreshIsSealedAndGoesWithItsSession, TestARenewedSessionTakesThePlaceOfTheOldOne,
		TestP2_NoSessionIsRenewedThatHasEnded, TestASessionEndsWithTheProviders, TestP1_NoSessionIsRenewedWithoutRecord, TestASessionIsRenewedOnce,
	}, "TestP2_NoRequestAfterTheReturn", "TestP2_AGroupOfMany", "TestLocalRegistry", "TestRunStopsWithItsContext", "TestCurrent", "TestKeepAndEvict", "TestInUseIsLookedAtWhilePeopleComeAndGo",
		"TestP2_CutEndsWhatCannotBeRead", "TestP2_CutWaitsForStreams",
		"TestP8_RevokedWithoutSQL", "TestRevokingWithoutSQLHasItsLimits") // which have servers of their own
}
